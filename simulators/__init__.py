"""Plants as pure functions of state, input, disturbance and random generator: arrays in, arrays out."""
