"""A trio-native client for EventStoreDB and KurrentDB."""
