package config

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// RedisPassword reads the password of Redis. It is empty if the configuration names none.
func (c *Config) RedisPassword() (string, error) {
	return readSecret("redis_password", c.RedisPasswordFile, c.RedisPasswordEnv)
}

// maxSecretBytes bounds a file that holds a secret and perhaps a line end.
const maxSecretBytes = 64 << 10

// readSecret reads a secret from the file or environment variable that the configuration names. It
// is empty if both are.
func readSecret(what, file, env string) (string, error) {
	switch {
	case file != "":
		secret, err := ReadSecretFile(file)
		if err != nil {
			return "", fmt.Errorf("%s_file: %w", what, err)
		}
		return secret, nil
	case env != "":
		secret := strings.TrimSpace(os.Getenv(env))
		if secret == "" {
			return "", fmt.Errorf("%s_env: the environment variable %s is empty", what, env)
		}
		return secret, nil
	}
	return "", nil
}

// ReadSecretFile returns the secret that a file holds, without the white space around it. No error
// repeats any of it.
func ReadSecretFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecretBytes+1))
	if err != nil {
		return "", err
	}
	if len(data) > maxSecretBytes {
		return "", fmt.Errorf("%s is too large for a secret", path)
	}
	secret := strings.TrimSpace(string(data))
	if secret == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return secret, nil
}
