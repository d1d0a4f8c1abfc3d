"""The custodians' policy follows the profile set: what a new profile asks for is signed, and nothing beyond."""

import os
import stat
from pathlib import Path

from ca.config import AuthoritySettings
from ca.custody_policy import follow_profiles
from hsm.custodian.policy import load_policy, write_policy
from pki.errors import ServiceError


def follow_profile_limits(policy_file: Path, settings: AuthoritySettings) -> bool:
    """Rewrite the policy where the profiles changed, before custodians read it; return whether it was.

    Rates, users and the limits of other keys stay as they were written.
    """
    try:
        policy = load_policy(policy_file)
    except ServiceError:  # the custodian reads it next, and says what is wrong with it
        return False
    followed = follow_profiles(policy, settings)
    if followed == policy:
        return False
    before = policy_file.stat()
    write_policy(followed, policy_file)
    os.chown(policy_file, before.st_uid, before.st_gid)  # a custodian of its own user reads it through its group
    policy_file.chmod(stat.S_IMODE(before.st_mode))
    return True
