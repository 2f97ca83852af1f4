"""Potentials that come with cgnnp. Each is a folder that `cgnnp.export` wrote, with the report of the run that made it.

    water_spce_300K          one bead per molecule of SPC/E water at 300 K and 0.997 g/mL; 1.6 ns of atomistic data
    nacl_spce_1.3M_300K      the ions of 1.334 mol/L NaCl in SPC/E water at 300 K, without water; 2.3 ns of atomistic data

The reports give the commands. The data of the ions were sampled by

    python -m cgnnp.sample preset=nacl system.concentration_M=1.334 system.n_pairs=20 system.n_water=810
"""
