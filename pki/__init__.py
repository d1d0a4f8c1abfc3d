"""The vocabulary that more than one package must agree on: values, names, keys, errors.

Pure: no files, sockets, threads, environment and no "now".
"""
