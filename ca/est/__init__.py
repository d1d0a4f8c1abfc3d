"""Enrolment over Secure Transport (RFC 7030): who may have a certificate without an officer in between, and how."""
