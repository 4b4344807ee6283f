//! Leader election with a coordination Lease (upstream: client-go/tools/leaderelection).
