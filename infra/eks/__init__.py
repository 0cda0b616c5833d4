"""An EKS cluster in Auto Mode: control plane, roles, access, and the driver of its file system."""
