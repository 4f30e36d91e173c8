"""The runner of the load tests: processes, data, k6, faults, reports. scripts/loadtest is its command."""
