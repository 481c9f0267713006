"""Where readings are kept: one protocol (`base`), embedded SQLite by default (`embedded`), InfluxDB (`influx`)."""
