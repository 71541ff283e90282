package shuintest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// motoPackage is the release of moto that the tests know: it stands for AWS,
// and brings cfn-lint, which reads templates of CloudFormation.
const motoPackage = "moto[server,cloudformation]==5.2.1"

// FindMoto finds programs of moto's (moto_server, cfn-lint), and gives the path
// of each: on PATH, else in the virtual environment dir, where they are
// installed if they are not yet. Debian has no package of them.
func FindMoto(ctx context.Context, dir string, programs ...string) ([]string, error) {
	var paths []string
	for _, name := range programs {
		path, err := exec.LookPath(name)
		if err != nil {
			path = filepath.Join(dir, "bin", name)
			if _, err := os.Stat(path); err != nil {
				if err := InstallMoto(ctx, dir); err != nil {
					return nil, err
				}
			}
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// InstallMoto makes a virtual environment of Python with moto and what else is
// named, as pip takes it; the programs are in its folder bin.
func InstallMoto(ctx context.Context, dir string, more ...string) error {
	for _, args := range [][]string{
		{"python3", "-m", "venv", dir},
		append([]string{filepath.Join(dir, "bin", "pip"), "install", "--quiet", motoPackage}, more...),
	} {
		if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("moto_server and cfn-lint are needed on PATH (pip install '%s'): %s: %w: %s", motoPackage, strings.Join(args, " "), err, out)
		}
	}
	return nil
}
