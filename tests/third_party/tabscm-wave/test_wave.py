from tabscm.testing import conformance
from tabscm_wave import Wave


def test_wave():
    conformance(Wave(), Wave(frequency=5.0))
