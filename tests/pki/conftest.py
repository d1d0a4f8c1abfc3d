from tests.support.softhsm import custodian, custodian_factory  # noqa: F401 - fixtures
