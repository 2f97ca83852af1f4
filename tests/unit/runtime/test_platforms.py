import openmm
import pytest

from cgnnp.runtime.platforms import PlatformChoice, available_cores, choose_platform


def test_unknown_platform_is_refused_with_the_list():
    with pytest.raises(ValueError, match=r"'Abacus' does not work on this machine: choose one of auto, .*CPU.*Reference"):
        choose_platform("Abacus")


def test_the_named_platform_is_used():
    choice = choose_platform("Reference")
    assert choice == PlatformChoice("Reference", {})
    assert not choice.is_gpu
    system = openmm.System()
    system.addParticle(1.0)
    assert choice.context(system, openmm.VerletIntegrator(0.001)).getPlatform().getName() == "Reference"


def test_threads_are_the_cores_this_process_may_use_or_those_asked_for():
    assert choose_platform("CPU").properties == {"Threads": str(available_cores())}
    assert choose_platform("CPU", threads=1).properties == {"Threads": "1"}
    assert available_cores() >= 1


def test_a_container_may_use_fewer_cores_than_there_are(tmp_path):
    quota = tmp_path / "cpu.max"
    everything = available_cores(quota)
    for text, expected in (("50000 100000\n", 1), ("100000 100000\n", 1), ("max 100000\n", everything), ("", everything)):
        quota.write_text(text)
        assert available_cores(quota) == expected
    quota.write_text("9900000 100000\n")
    assert available_cores(quota) == everything


def test_jobs_side_by_side_share_the_cores(monkeypatch):
    cores = available_cores()
    for jobs in (1, 2, cores, 10 * cores):
        monkeypatch.setenv("CGNNP_PARALLEL_JOBS", str(jobs))
        assert available_cores() == max(1, cores // jobs)


def test_auto_skips_platforms_that_do_not_work(monkeypatch):
    monkeypatch.setattr("cgnnp.runtime.platforms._works", lambda name: name == "Reference")
    assert choose_platform().name == "Reference"
    with pytest.raises(ValueError, match="'CPU' does not work on this machine"):
        choose_platform("CPU")


def test_auto_takes_the_fastest(monkeypatch):
    monkeypatch.setattr("cgnnp.runtime.platforms._works", lambda name: True)
    speeds = {p.getName(): p.getSpeed() for p in map(openmm.Platform.getPlatform, range(openmm.Platform.getNumPlatforms()))}
    assert speeds[choose_platform().name] == max(speeds.values())
