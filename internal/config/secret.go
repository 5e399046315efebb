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

// readSecret reads a secret from where the configuration says it is. No error repeats any of it.
func readSecret(what, file, env string) (string, error) {
	var text, where string
	switch {
	case file != "":
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("%s_file: %w", what, err)
		}
		defer f.Close()
		data, err := io.ReadAll(io.LimitReader(f, maxSecretBytes+1))
		if err != nil {
			return "", fmt.Errorf("%s_file: %w", what, err)
		}
		if len(data) > maxSecretBytes {
			return "", fmt.Errorf("%s_file: %s is larger than a secret", what, file)
		}
		text, where = string(data), what+"_file: "+file
	case env != "":
		text, where = os.Getenv(env), what+"_env: the environment variable "+env
	default:
		return "", nil
	}
	if text = strings.TrimSpace(text); text == "" {
		return "", fmt.Errorf("%s is empty", where)
	}
	return text, nil
}
