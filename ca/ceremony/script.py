"""A ceremony's script: reviewed text, read strictly, every fault told with its line.

TOML 1.0 of a narrow kind: `[ceremony]`, for a new deployment `[deployment]`, and one `[[step]]` for each step.
Its SHA-256 names it: it is read aloud before anything is done, and a script of another digest resumes nothing.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from ca.ceremony import grammar
from ca.ceremony.errors import Fault, ScriptRefused
from ca.ceremony.grammar import GRAMMAR, SERVICE, Reader, Step, text
from ca.hierarchy import authority_key
from ca.profiles import ISSUING_AUTHORITIES

MAX_SCRIPT_OCTETS: Final = 64 * 1024
MAX_STEPS: Final = 200
MAX_CUSTODIANS: Final = 16

_STEP_HEADER: Final = re.compile(r"\s*\[\[\s*step\s*\]\]\s*(?:#.*)?")
_TABLE_HEADER: Final = re.compile(r"\s*\[")
_SYNTAX_LINE: Final = re.compile(r"\(at line (\d+)")
_UNSEEN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentWish:
    """The deployment that a script makes; the members are those of `mohr.toml`."""

    public_url: str
    organization: str
    exchange_url: str | None = None
    status_url: str | None = None
    oid_arc: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A script without faults. Custodians and witnesses are roles of persons, by name."""

    name: str
    purpose: str
    custodians: tuple[str, ...]
    threshold: int
    witnesses: tuple[str, ...]
    deployment: DeploymentWish | None
    steps: tuple[Step, ...]
    kinds: tuple[str, ...]
    source: bytes = field(repr=False)

    @property
    def sha256(self) -> bytes:
        """What names the script."""
        return sha256(self.source).digest()


class _Lines:
    """Where tables and members begin in the text of a script."""

    def __init__(self, source: str) -> None:
        self._lines = source.split("\n")
        self.steps = [number for number, line in enumerate(self._lines, 1) if _STEP_HEADER.fullmatch(line)]

    def table(self, name: str) -> int:
        """Return the line of `[name]`, 1 where it is not written so."""
        form = re.compile(rf"\s*\[\s*{name}\s*\]\s*(?:#.*)?")
        return next((number for number, line in enumerate(self._lines, 1) if form.fullmatch(line)), 1)

    def member(self, header: int, name: str) -> int:
        """Return the line of a member in the table that begins at line `header`, else that line itself."""
        form = re.compile(rf"\s*[\"']?{re.escape(name)}[\"']?\s*[=.]")
        for number in range(header, len(self._lines)):
            line = self._lines[number]
            if _TABLE_HEADER.match(line):
                break
            if form.match(line):
                return number + 1
        return header


def parse_script(data: bytes) -> Script:
    """Read a script; ScriptRefused (`ceremony-script`) tells every fault that can be told at once."""
    source = _source(data)
    try:
        raw = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        found = _SYNTAX_LINE.search(str(error))
        raise ScriptRefused([Fault(int(found[1]) if found else source.count("\n") + 1, str(error))]) from error
    except RecursionError as error:
        raise ScriptRefused("it nests too deep") from error
    return _Reading(raw, _Lines(source)).script(data)


def _source(data: bytes) -> str:
    if len(data) > MAX_SCRIPT_OCTETS:
        raise ScriptRefused(f"a script has at most {MAX_SCRIPT_OCTETS} octets")
    try:
        source = data.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ScriptRefused([Fault(data.count(b"\n", 0, error.start) + 1, "not UTF-8")]) from error
    faults = [
        Fault(number, "a character that a reviewer does not see")
        for number, line in enumerate(source.split("\n"), 1)
        if _UNSEEN.search(line)
    ]
    faults += [
        Fault(number, "text over several lines")
        for number, line in enumerate(source.split("\n"), 1)
        if '"""' in line or "'''" in line
    ]
    if faults:
        raise ScriptRefused(faults)
    return source


class _Reading:
    """One reading of a script: values where they are well written, faults where they are not."""

    def __init__(self, raw: Mapping[str, Any], lines: _Lines) -> None:
        self._raw, self._lines = raw, lines
        self._faults: list[Fault] = []

    def script(self, data: bytes) -> Script:
        for name in self._raw.keys() - {"ceremony", "deployment", "step"}:
            self._faults.append(Fault(self._lines.table(name), f"unknown table {name!r}"))
        line = self._lines.table("ceremony")
        ceremony = self._members("ceremony", _CEREMONY, {})
        deployment = self._members("deployment", *_DEPLOYMENT) if "deployment" in self._raw else None
        steps = self._steps()
        if ceremony is not None:
            self._check_persons(line, ceremony)
        if len(steps) == len(self._raw.get("step", ())):
            self._check_course(steps, deployment is not None)
        if self._faults or ceremony is None:
            raise ScriptRefused(self._faults)
        return Script(
            **ceremony,
            deployment=None if deployment is None else DeploymentWish(**deployment),
            steps=tuple(steps),
            kinds=tuple(str(raw["do"]) for raw in self._raw["step"]),
            source=data,
        )

    def _members(
        self, name: str, required: Mapping[str, Reader], optional: Mapping[str, Reader]
    ) -> dict[str, Any] | None:
        table = self._raw.get(name)
        if not isinstance(table, dict):
            self._faults.append(Fault(self._lines.table(name), f"a table [{name}] is needed"))
            return None
        return self._read(table, required, optional, self._lines.table(name), None)

    def _read(
        self,
        table: Mapping[str, Any],
        required: Mapping[str, Reader],
        optional: Mapping[str, Reader],
        line: int,
        step: int | None,
    ) -> dict[str, Any] | None:
        before = len(self._faults)
        for name in sorted(table.keys() - required.keys() - optional.keys()):
            self._faults.append(Fault(self._lines.member(line, name), f"unknown member {name!r}", step))
        for name in sorted(required.keys() - table.keys()):
            self._faults.append(Fault(line, f"{name} is missing", step))
        found = {}
        for name, read in (*required.items(), *optional.items()):
            if name not in table:
                continue
            try:
                found[name] = read(table[name])
            except ValueError as error:
                self._faults.append(Fault(self._lines.member(line, name), f"{name} {error}", step))
        return found if len(self._faults) == before else None

    def _steps(self) -> list[Step]:
        raw = self._raw.get("step")
        tables = raw if isinstance(raw, list) and all(isinstance(each, dict) for each in raw) else []
        if not 1 <= len(tables) <= MAX_STEPS or len(tables) != len(self._lines.steps):
            self._faults.append(Fault(1, f"a script has 1 to {MAX_STEPS} steps, each under its own [[step]]"))
            return []
        numbered = enumerate(zip(tables, self._lines.steps, strict=True), 1)
        return [step for number, (table, line) in numbered if (step := self._step(table, line, number)) is not None]

    def _step(self, table: Mapping[str, Any], line: int, number: int) -> Step | None:
        do = table.get("do")
        form = GRAMMAR.get(do) if isinstance(do, str) else None
        if form is None:
            at = self._lines.member(line, "do")
            self._faults.append(Fault(at, f"do is one of {', '.join(GRAMMAR)}", number))
            return None
        rest = {name: value for name, value in table.items() if name != "do"}
        members = self._read(rest, form.required, form.optional, line, number)
        if members is None:
            return None
        step = form.step(**members)
        wrong = grammar.misfit(step)
        if wrong is not None:
            self._faults.append(Fault(line, f"{do} {wrong}", number))
            return None
        return step

    # --- what holds between parts of a script ---

    def _check_persons(self, line: int, ceremony: Mapping[str, Any]) -> None:
        custodians, witnesses, threshold = ceremony["custodians"], ceremony["witnesses"], ceremony["threshold"]
        persons = (*custodians, *witnesses)
        if len(set(persons)) != len(persons):
            self._faults.append(Fault(self._lines.member(line, "witnesses"), "one person has one role"))
        if not 2 <= threshold <= len(custodians):
            at = self._lines.member(line, "threshold")
            self._faults.append(Fault(at, "threshold is at least 2 and at most the number of custodians"))

    def _check_course(self, steps: Sequence[Step], founds: bool) -> None:  # noqa: FBT001 - a fact of the script
        """Tokens are introduced before they are used, once; what is opened, published and told has its end."""
        known: dict[str, bool] = {}  # token → whether it is made here, so that all its keys are
        keys: set[tuple[str, str]] = set()
        for number, step in enumerate(steps, 1):
            match step:
                case grammar.MakeToken() | grammar.UseToken():
                    if step.token in known:
                        self._fault(number, f"token {step.token} is introduced twice")
                    known[step.token] = isinstance(step, grammar.MakeToken)
                    continue
                case grammar.GenerateKey():
                    if (step.token, step.key) in keys:
                        self._fault(number, f"key {step.key} is generated twice")
                    keys.add((step.token, step.key))
            for token in (getattr(step, "token", None), getattr(step, "authority_token", None)):
                if token is not None and token not in known:
                    self._fault(number, f"no step before makes or uses the token {token}")
            for token, key in _keys_of(step):
                if known.get(token) and (token, key) not in keys:
                    self._fault(number, f"no step before generates the key {key} in the token {token}")
            if isinstance(step, grammar.InstallCertificate) and not any(
                isinstance(other, grammar.RequestCertificate) and (other.token, other.key) == (step.token, step.key)
                for other in steps[: number - 1]
            ):
                self._fault(number, f"no step before requests a certificate for the key {step.key}")
        self._check_ends(steps, founds)

    def _check_ends(self, steps: Sequence[Step], founds: bool) -> None:  # noqa: FBT001 - a fact of the script
        opens = [number for number, step in enumerate(steps, 1) if isinstance(step, grammar.OpenDeployment)]
        if founds and opens != [len(steps)]:
            self._fault(len(steps), "a script with [deployment] ends with open-deployment, once")
        if not founds and opens:
            self._fault(opens[0], "open-deployment needs a table [deployment]")
        if founds:
            made = {(type(step), getattr(step, "authority", getattr(step, "token", None))) for step in steps}
            own_root = any((grammar.InstallCertificate, label) not in made for label in ISSUING_AUTHORITIES)
            for what, missing in (
                ("make-token for the token service", (grammar.MakeToken, SERVICE) not in made),
                ("certify-root", own_root and not any(kind is grammar.CertifyRoot for kind, _ in made)),
                ("sign-root-list", own_root and not any(kind is grammar.SignRootList for kind, _ in made)),
                *(
                    (f"certify-authority for {label}", (grammar.CertifyAuthority, label) not in made)
                    for label in ISSUING_AUTHORITIES
                    if (grammar.InstallCertificate, label) not in made
                ),
            ):
                if missing:
                    self._fault(len(steps), f"a deployment needs a step {what}")
            self._check_installed(steps)
        told = max((n for n, step in enumerate(steps, 1) if isinstance(step, grammar.SignRootList)), default=0)
        for number, step in enumerate(steps, 1):
            if isinstance(step, grammar.RevokeAuthority) and number > told:
                self._fault(number, "a step sign-root-list must follow: a revocation is felt through the root's list")

    def _check_installed(self, steps: Sequence[Step]) -> None:
        """An authority's own key is where the service's custodians keep it to what it may sign."""
        for number, step in enumerate(steps, 1):
            if not isinstance(step, grammar.InstallCertificate) or step.authority is None:
                continue
            wanted = (SERVICE, authority_key(step.authority))
            if (step.token, step.key) != wanted:
                self._fault(number, f"the key of {step.authority} is {wanted[1]} in the token {SERVICE}")

    def _fault(self, number: int, what: str) -> None:
        self._faults.append(Fault(self._lines.steps[number - 1], what, number))


def _keys_of(step: Step) -> tuple[tuple[str, str], ...]:
    """Return the keys, with their tokens, that a step needs."""
    match step:
        case grammar.CertifyAuthority():
            return ((step.authority_token, authority_key(step.authority)),)
        case grammar.CertifyRoot() | grammar.RequestCertificate() | grammar.InstallCertificate():
            return ((step.token, step.key),)
        case grammar.ReadAloud(token=str(token), key=str(key)):
            return ((token, key),)
    return ()


def _persons(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_CUSTODIANS:
        raise ValueError(f"is a list of 1 to {MAX_CUSTODIANS} names")
    return tuple(text(name) for name in value)


def _number(value: object) -> int:
    if type(value) is not int:
        raise ValueError("is a whole number")
    return value


def _name(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9][a-z0-9-]{2,47}", value):
        raise ValueError("is 3 to 48 small letters, digits and hyphens")
    return value


def _sentence(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 500 or not value.isprintable():
        raise ValueError("is a line of at most 500 characters")
    return value


_CEREMONY: Final[Mapping[str, Reader]] = {
    "name": _name,
    "purpose": _sentence,
    "custodians": _persons,
    "threshold": _number,
    "witnesses": _persons,
}
_DEPLOYMENT: Final[tuple[Mapping[str, Reader], Mapping[str, Reader]]] = (
    {"public_url": _sentence, "organization": text},
    {"exchange_url": _sentence, "status_url": _sentence, "oid_arc": _sentence},
)
