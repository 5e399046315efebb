//go:build !linux && !darwin

package localdisk

func fileSystem(string) string { return "" }
