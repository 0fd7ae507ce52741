"""skelkit_train: contrastive pretraining on skeleton stores, and its evaluation."""
