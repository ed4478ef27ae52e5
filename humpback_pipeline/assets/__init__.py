"""Assets: dependencies, one call of a stage, metadata and checks."""

import warnings

import dagster as dg

# Backfill policies and observable sources are what a run over all shards rests on; that Dagster
# still calls them beta would otherwise be said once for every asset at every start.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
