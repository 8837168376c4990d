"""The Lightning module, the trial axis, freezing, losses, schedules, the feature store, sources and callbacks."""
