"""Files that anybody may encrypt to a public key, and its holder alone opens: the age format, version 1 (C2SP age)."""
