"""A model as a feature extractor for another data set: features, and what is learned from them."""
