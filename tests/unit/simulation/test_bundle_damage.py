"""A bundle that was damaged or edited is refused, with the file named."""

import json
import random
import shutil

import pytest

import cgnnp
from cgnnp.models.registry import model_from_dict
from cgnnp.runtime.storage import file_checksum
from cgnnp.simulation.beads import own_beads
from cgnnp.simulation.manifest import DIGEST, FILES, read_manifest, write_manifest


@pytest.fixture
def bundle(exported, tmp_path):
    """A copy to damage."""
    return shutil.copytree(exported.path, tmp_path / "potential")


def manifest_of(bundle) -> dict:
    return json.loads((bundle / "manifest.json").read_text())


def older(bundle, version: int = 3, **changes) -> None:
    """Make the manifest one of an earlier version, that has no digest of itself."""
    manifest = {**manifest_of(bundle), "version": version, **changes}
    del manifest[DIGEST]
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def test_every_digit_of_a_manifest_counts(bundle):
    """All 150 changes of one digit are refused, but for those in the 17th place, which are the same number."""
    file = bundle / "manifest.json"
    text, same = file.read_text(), manifest_of(bundle)
    rng = random.Random(3)
    places = rng.sample([k for k, letter in enumerate(text) if letter.isdigit()], 150)
    for place in places:
        other = rng.choice([digit for digit in "0123456789" if digit != text[place]])
        file.write_text(text[:place] + other + text[place + 1 :])
        try:
            message, found = "", read_manifest(bundle)
        except ValueError as error:
            message = str(error)
        assert "manifest.json" in message or found == same
    file.write_text(text)
    cgnnp.load(bundle)


def test_the_layout_of_a_manifest_does_not_count(bundle):
    (bundle / "manifest.json").write_text(json.dumps(manifest_of(bundle), indent=4, sort_keys=True))
    assert cgnnp.load(bundle).temperature == 300.0


def test_a_manifest_without_its_digest_is_refused(bundle):
    manifest = manifest_of(bundle)
    del manifest[DIGEST]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=rf"manifest\.json: has no {DIGEST}: .*export the potential again"):
        cgnnp.load(bundle)


def test_bundles_of_earlier_versions_are_the_same_potential(bundle, exported):
    older(bundle)
    assert cgnnp.load(bundle).digest == exported.bundle.digest
    low = exported.bundle.manifest["number_density_nm3"]["AR"][0]
    older_still = {**manifest_of(bundle), "version": 2, "number_density_nm3": {"AR": low}}
    (bundle / "manifest.json").write_text(json.dumps(older_still))
    assert cgnnp.load(bundle).digest == exported.bundle.digest


WRONG = {
    "checksums_sha256": [{}, {"../../secret": "0"}, [], {"model.pt": 3}],
    "self_check": [[], [{}], {}, [{"box_nm": [[1]], "positions_nm": [], "energy_kJ_mol": 1.0, "forces_kJ_mol_nm": []}]],
    "temperature_K": [0, -300.0, "300", True, [300.0]],
    "number_density_nm3": [{}, {"AR": [7.0]}, {"AR": [8.0, 7.0]}, {"AR": [-1.0, 7.0]}, {"AR": 7.0}, []],
    "bead_masses_Da": [{}, {"AR": 0}, {"AR": -18.0}, {"AR": "18"}, {"KR": 83.0}, 39.9],
    "bead_charges_e": [{"AR": "1"}, [0.0]],
    "prior_cutoffs_nm": [[-0.7], ["0.7"], 0.7],
    "first_sampled_nm": [{"AR-AR": -0.2}, {"AR-AR": None}],
    "network_cutoff_nm": [0, "0.9"],
    "eps_r": [-71.0, "water"],
    "mapping": [{}, [], "atoms"],
    "version": [0, -1, "3", 2.5, True],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
@pytest.mark.parametrize("digest", [False, True], ids=["version 3", "with a digest"])
def test_entries_of_wrong_types_or_out_of_range(key, value, digest, bundle):
    older(bundle, **{key: value})
    if digest:
        write_manifest(bundle, {**manifest_of(bundle), "version": 4} | ({key: value} if key == "version" else {}))
    with pytest.raises(ValueError, match=r"(manifest\.json|model\.pt): "):
        cgnnp.load(bundle, self_check=False)


@pytest.mark.parametrize(("key", "value"), [("masses", [0.0]), ("charges", [None]), ("copies", [[0, 1, -3]])])
def test_a_mapping_with_wrong_values(key, value, bundle):
    mapping = manifest_of(bundle)["mapping"]
    mapping["blocks"][0][key] = value
    older(bundle, mapping=mapping)
    with pytest.raises(ValueError, match=r"manifest\.json: the mapping in this file is damaged"):
        cgnnp.load(bundle)


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_needed_and_listed(name, bundle):
    manifest = manifest_of(bundle)
    del manifest["checksums_sha256"][name]
    write_manifest(bundle, manifest)
    with pytest.raises(ValueError, match=f"{name}: missing, truncated or changed"):
        cgnnp.load(bundle)


@pytest.mark.parametrize("text", ["", "data_x\n", "loop_\n_atom_site.id\n1\n", None])
def test_beads_of_another_topology_are_refused(text, bundle):
    file = bundle / "topology.cif"
    file.write_text(file.read_text().replace("AR", "KR") if text is None else text)
    manifest = manifest_of(bundle)
    manifest["checksums_sha256"]["topology.cif"] = file_checksum(file)
    write_manifest(bundle, manifest)
    with pytest.raises(ValueError, match=r"topology\.cif: (cannot be read|its beads are not those)"):
        own_beads(cgnnp.load(bundle))


def test_a_prior_of_another_structure_is_named(bundle):
    for text in ("{}", "[1]", "[[]]", '[{"kind": "pair_spline"}]', '[{"kind": []}]', "[NaN]"):
        (bundle / "prior.json").write_text(text)
        manifest = manifest_of(bundle)
        manifest["checksums_sha256"]["prior.json"] = file_checksum(bundle / "prior.json")
        write_manifest(bundle, manifest)
        with pytest.raises(ValueError, match=r"prior\.json"):
            cgnnp.load(bundle)


def test_earlier_versions_may_hold_nan_where_it_matters_to_nothing(bundle, exported):
    """R2 of a single held-out frame has no error: version 3 wrote NaN."""
    file = bundle / "manifest.json"
    older(bundle, r2_stderr=float("nan"))
    assert "NaN" in file.read_text()
    loaded = cgnnp.load(bundle)
    assert loaded.digest == exported.bundle.digest
    assert loaded.manifest["r2_stderr"] is None
    older_still = {**manifest_of(bundle), "temperature_K": float("nan")}
    file.write_text(json.dumps(older_still))
    with pytest.raises(ValueError, match=r"manifest\.json: has no temperature_K"):
        cgnnp.load(bundle)


def test_nan_in_a_manifest_with_a_digest_is_no_number_of_it(bundle):
    file = bundle / "manifest.json"
    file.write_text(file.read_text().replace('"temperature_K": 300.0', '"temperature_K": NaN'))
    with pytest.raises(ValueError, match=r"manifest\.json: "):
        cgnnp.load(bundle)
    manifest = manifest_of(bundle)
    file.write_text(json.dumps({**manifest, "temperature_K": 300.0, "r2_stderr": float("nan")}))
    with pytest.raises(ValueError, match=r"manifest\.json: its content does not match its digest"):
        cgnnp.load(bundle)


@pytest.mark.parametrize(("key", "allowed", "refused"), [("bead_masses_Da", 1.008, 1.02), ("bead_charges_e", 5e-7, 1e-3)])
def test_bead_types_are_those_of_the_mapping(key, allowed, refused, bundle):
    """Masses within one percent, as in any data set, charges within rounding; both stand in the mapping too."""
    sound = manifest_of(bundle)[key]["AR"]
    changed = (lambda x: sound * x) if key == "bead_masses_Da" else (lambda x: sound + x)
    older(bundle, **{key: {"AR": changed(allowed)}})
    read_manifest(bundle)
    manifest = {**manifest_of(bundle), key: {"AR": changed(refused)}}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=rf"manifest\.json: {key} of AR is .*, but .* in the mapping"):
        read_manifest(bundle)


@pytest.mark.parametrize(
    ("key", "value", "within"),
    [
        *[("layers", 3000, "1 to 20"), ("features", 100_000, "1 to 512"), ("radial_hidden", 10**9, "1 to 2048")],
        *[("knots", 10**8, "1 to 10000"), ("cutoff_nm", 1e6, "positive|0.01 to 10")],
    ],
)
def test_settings_of_a_network_are_held_to_their_ranges_in_files_too(key, value, within, bundle):
    """Potentials are safe to load from anybody: with checksums that fit, too."""
    file = bundle / "model.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    manifest = manifest_of(bundle)
    manifest["checksums_sha256"]["model.json"] = file_checksum(file)
    write_manifest(bundle, manifest)
    with pytest.raises(ValueError, match=rf"model\.json: {key}=.*: must be ({within}) \(a limit of cgnnp"):
        cgnnp.load(bundle)


@pytest.mark.parametrize(
    ("key", "value"), [("type_names", {"AR": 1}), ("inner_cutoff_nm", [[None]]), ("energy_scale", True)]
)
def test_settings_of_a_network_are_of_their_types_in_files_too(key, value, bundle):
    data = {**json.loads((bundle / "model.json").read_text()), key: value}
    with pytest.raises(ValueError, match=rf"here: {key}=.*: must be "):
        model_from_dict(data, "here")
