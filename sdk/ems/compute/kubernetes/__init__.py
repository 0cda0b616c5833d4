"""Jobs in a Kubernetes cluster: the manifests of its Jobs, what their pods say, and its API.

The files of jobs lie in a folder that this machine and the pods both see.
"""
