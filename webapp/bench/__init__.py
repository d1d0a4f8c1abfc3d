"""The figures of `make bench`: each beside a peer and beside the floor that bounds it, in the same job."""
