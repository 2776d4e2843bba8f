"""The peers' table: what imstorm's parts cost beside other software that does the like. `benches/peers` runs it."""
