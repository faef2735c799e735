"""Both sides of an air gap on one machine: network namespaces with nothing in them but a loopback of their own."""
