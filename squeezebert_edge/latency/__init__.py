"""How fast: the protocol, the record of a measurement, the texts measured on."""
