# clusterctl/
