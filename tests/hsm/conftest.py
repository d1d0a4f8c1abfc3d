from tests.hsm.journal_bench import journal, sync, ticks  # noqa: F401 - fixtures
from tests.support.openbao import bao, bao_node, bao_server  # noqa: F401 - fixtures
from tests.support.softhsm import custodian, custodian_factory  # noqa: F401 - fixtures
