"""What a request costs: this service, the usual recipe and peers, compared in pairs in one run."""
