"""A process with no other duty than to hold a PIN that people unlock."""
