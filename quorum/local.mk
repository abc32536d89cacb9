# quorum/
