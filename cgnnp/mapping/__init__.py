"""From atoms to beads: the linear maps, how they are made, and the certificate of the force map. numpy and scipy only."""
