// etcd in the version that Kubernetes is released with. Its own main package cannot be required:
// it belongs to no versioned module.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
