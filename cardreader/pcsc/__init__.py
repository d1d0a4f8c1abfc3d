"""Readers and cards through the PC/SC service (pcscd, WinSCard); the only package that imports pyscard."""

from cardreader.pcsc.readers import PcscReaders, ReaderState

__all__ = ["PcscReaders", "ReaderState"]
