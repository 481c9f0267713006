"""From a sensor to the wire: frame, topics, quality, units, spool, agent, and the simulated device."""
