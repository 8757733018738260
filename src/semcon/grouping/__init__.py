"""Groups of images: which there are, how much worse a model is on some, and what its predictions follow."""
