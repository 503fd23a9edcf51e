"""Names of tenants that mean something: whose a container is when nobody says, and those that no container can have."""

DEFAULT_TENANT = "default"
HOST_TENANT = "host"  # a host's own programs, and its own address
FOREIGN_TENANT = "foreign"  # whose address no router has
EVERYBODY = "*"
RESERVED_TENANTS = (HOST_TENANT, FOREIGN_TENANT, EVERYBODY)
