// Kube is a whole Kubernetes in one program: `kube PART ...` runs the part that its first word names.
//
// The parts are upstream's own commands, and so are their flags; etcd is what upstream's go.mod asks
// for. One program instead of six shares what they have in common, and is built once.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

const usage = "usage: kube etcd|apiserver|controllers|scheduler|kubelet|ctl [ARGUMENT...]"

func main() {
	if len(os.Args) < 2 {
		fail(usage)
	}
	part, rest := os.Args[1], os.Args[2:]
	if part == "etcd" {
		etcdmain.Main(append([]string{part}, rest...))
		return
	}
	command := commandFor(part)
	if command == nil {
		fail(fmt.Sprintf("kube: no part %q\n%s", part, usage))
	}
	// upstream's commands read os.Args, for their help and for kubectl's plugins
	os.Args = append([]string{part}, rest...)
	os.Exit(cli.Run(command))
}

func commandFor(part string) *cobra.Command {
	switch part {
	case "apiserver":
		return apiserver.NewAPIServerCommand()
	case "controllers":
		return controllers.NewControllerManagerCommand()
	case "scheduler":
		return scheduler.NewSchedulerCommand()
	case "kubelet":
		return kubelet.NewKubeletCommand(context.Background())
	case "ctl":
		return kubectl.NewDefaultKubectlCommand()
	}
	return nil
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(2)
}
