"""A model of the pool's scheduling, from 10 to 10,000 workers; docs/explanation/scheduling.md tells what it says.

`pool` is the simulation, `shuffle` a keyed map-reduce on it, `times` how long items take, `advice` what follows;
`measure` takes the model's numbers from the real pool of this machine, and real runs to hold it against; `tables` and
`chart` show all that.
"""
