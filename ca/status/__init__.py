"""What anybody may ask about a certificate's status: its states, revocation lists and OCSP answers."""
