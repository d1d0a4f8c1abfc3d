"""Writing keys and certificates into the directories of an ISO/IEC 7816-15 card.

Free files are those of EF.UnusedSpace that no directory refers to. Each change writes the value into a free
file first, then the directory that refers to it, then the list of free files: a card pulled in between loses
at most a free file's entry in that list, never a certificate that was there.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from cardreader import tlv
from cardreader.cards import directory, directory_encoding
from cardreader.cards.directory import FilePath, PrivateKeyEntry, ValueEntry
from cardreader.cards.files import CardFiles
from cardreader.cards.public_keys import to_file
from cardreader.errors import CardFull, CardUnsupported
from pki.keys import PublicKey, SignatureAlgorithm, algorithm_for

_UNUSED_SPACE: Final = b"\x50\x33"
_Parser = Callable[[bytes], tuple[ValueEntry, ...]] | Callable[[bytes], tuple[PrivateKeyEntry, ...]]


class Personalisation:
    """The directories of one card, during one session in which writing is allowed."""

    def __init__(self, files: CardFiles, *, prkdf: bytes, pukdf: bytes, cdf: bytes) -> None:
        self._files, self._prkdf, self._pukdf, self._cdf = files, prkdf, pukdf, cdf

    def forget(self, key_id: bytes) -> None:
        """Remove certificate and public key of a key that is about to be replaced."""
        dropped = self._replace(self._cdf, directory.parse_cdf, key_id, b"")
        dropped += self._replace(self._pukdf, directory.parse_pukdf, key_id, b"")
        self._settle(dropped)

    def register_key(self, entry: PrivateKeyEntry, key: PublicKey) -> None:
        """Write the public half of a new key and make the private key's entry say its type."""
        entry = replace(entry, is_rsa=algorithm_for(key) is SignatureAlgorithm.RS256)
        self._replace(self._prkdf, directory.parse_prkdf, entry.key_id, directory_encoding.private_key(entry))
        public = directory_encoding.public_key(entry, self._store(to_file(key)))
        self._settle(self._replace(self._pukdf, directory.parse_pukdf, entry.key_id, public))

    def register_certificate(self, key_id: bytes, label: str, certificate_der: bytes) -> None:
        """Write a certificate and let it take the place of the key's former one."""
        entry = directory_encoding.certificate(key_id, label, self._store(certificate_der))
        self._settle(self._replace(self._cdf, directory.parse_cdf, key_id, entry))

    def _replace(self, path: bytes, parse: _Parser, key_id: bytes, new: bytes) -> list[FilePath]:
        """Put `new` in place of the entries of `key_id`; other entries stay octet for octet.

        Returns the files that the replaced entries referred to.
        """
        kept: list[bytes] = []
        dropped: list[FilePath] = []
        for each in tlv.parse_tlvs(self._files.read_objects(path), padded=True):
            replaced = [entry for entry in parse(each.raw) if entry.key_id == key_id]
            dropped.extend(entry.path for entry in replaced if isinstance(entry, ValueEntry) and entry.path)
            if not replaced:
                kept.append(each.raw)
        self._rewrite(path, b"".join((*kept, new)))
        return dropped

    def _rewrite(self, path: bytes, content: bytes) -> None:
        """Write a directory's new entries over the old ones, padded as far as those reached."""
        old = b"".join(each.raw for each in tlv.parse_tlvs(self._files.read_objects(path), padded=True))
        if content != old:
            self._files.write(path, content.ljust(len(old), b"\0"))

    # --- free files -------------------------------------------------------------------------------

    def _store(self, content: bytes) -> FilePath:
        """Write `content` into the smallest free file that holds it; CardFull when there is none."""
        fitting = [(size, path) for path, size in self._free().items() if size >= len(content)]
        if not fitting:
            raise CardFull
        path = min(fitting)[1]
        self._files.write(path, content)
        return FilePath(path=path, length=len(content))

    def _free(self) -> dict[bytes, int]:
        """Return the free files with their sizes: whole files, listed as unused, that no directory refers to."""
        try:
            spaces = directory.parse_unused_space(self._files.read_objects(_UNUSED_SPACE))
        except CardUnsupported as error:
            raise CardUnsupported("the card does not say which of its files are free") from error
        listed = {self._files.absolute(each.path): each.length or 0 for each in spaces if each.index == 0}
        taken = self._taken()
        return {path: size for path, size in listed.items() if path not in taken}

    def _settle(self, dropped: Iterable[FilePath]) -> None:
        """Write the list of free files, now with those that nothing refers to any more."""
        free, taken = self._free(), self._taken()
        for path in {self._files.absolute(each.path) for each in dropped} - taken:
            free[path] = self._files.select(path) or 0
        spaces = (FilePath(path=path, length=size) for path, size in sorted(free.items()) if size)
        self._rewrite(_UNUSED_SPACE, directory_encoding.unused_space(spaces))

    def _taken(self) -> frozenset[bytes]:
        entries = (
            *directory.parse_cdf(self._files.read_objects(self._cdf)),
            *directory.parse_pukdf(self._files.read_objects(self._pukdf)),
        )
        return frozenset(self._files.absolute(entry.path.path) for entry in entries if entry.path is not None)
