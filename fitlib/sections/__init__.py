"""What the report says on one subject each: the tables for readers, the sentences and the figures of a section."""
