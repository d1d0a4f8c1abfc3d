"""Codes that holders are sent: written as a row, made where they are sent, compared with a digest."""
