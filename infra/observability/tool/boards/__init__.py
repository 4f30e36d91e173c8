"""The dashboards, in the order of the list that Grafana shows."""

from boards import cost, exchange, fleet, overview, queries, store

ALL = [overview.BOARD, queries.BOARD, fleet.BOARD, store.BOARD, exchange.BOARD, cost.BOARD]
