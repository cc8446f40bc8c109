# The versions of the cluster that tests start. 1.34 is the last kubelet that accepts cgroup v1 by default.
KUBERNETES=1.34.4
COREDNS=1.13.1
PROMETHEUS_OPERATOR=0.85.0
# ENVOY is the version that this release of Envoy Gateway starts.
ENVOY_GATEWAY=1.9.1
ENVOY=1.39.1
