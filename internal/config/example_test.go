package config

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/ktaudit/ktaudit/internal/strictyaml"
	"github.com/ktaudit/ktaudit/validator"
)

const exampleFile = "../../docs/ktaudit.example.yaml"

// TestExampleFile loads the documented example and makes sure that it shows every field.
func TestExampleFile(t *testing.T) {
	t.Parallel()
	c, err := Load(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	if warnings := c.Warnings(); len(warnings) > 0 {
		t.Errorf("it has warnings: %v", warnings)
	}
	// cannot stand beside the file, and are in a comment
	shown := map[string]bool{
		"verdict_log.key.env": true, "verdict_log.statement_key.file": true, "witness.key.file": true, "heartbeat.url": true, "heartbeat.url_env": true,
		"redis_password_env": true, "redis_sentinel_password_file": true, "redis_sentinel_password_env": true, "serve.manage.token_env": true, "namespaces[].signing.token_env": true,
	}
	index := regexp.MustCompile(`\[\d+\]`)
	for _, path := range c.source.Paths() {
		shown[index.ReplaceAllString(path, "[]")] = true
	}
	tlsOfTarget := regexp.MustCompile(`^(alerts\.\w+\[\]|heartbeat)\.tls`) // which is shown for one kind
	for _, path := range strictyaml.Settings(Config{}) {
		if !shown[tlsOfTarget.ReplaceAllString(path, "alerts.alertmanager[].tls")] {
			t.Errorf("%s is not shown", path)
		}
	}
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	if kinds := strings.Join(validator.ConfigurationKinds(), " or "); !strings.Contains(string(text), kinds) {
		t.Errorf("the tree configurations are not named: %s", kinds)
	}
}

// TestTags holds every exported field to having a name in the file.
func TestTags(t *testing.T) {
	t.Parallel()
	structures := []reflect.Type{
		reflect.TypeFor[Config](), reflect.TypeFor[Namespace](), reflect.TypeFor[Backfill](), reflect.TypeFor[Limits](),
		reflect.TypeFor[TLS](), reflect.TypeFor[Alerts](), reflect.TypeFor[Heartbeat](), reflect.TypeFor[Serve](), reflect.TypeFor[SigningKey](), reflect.TypeFor[Manage](), reflect.TypeFor[Signing](),
		reflect.TypeFor[VerdictLog](), reflect.TypeFor[Key](), reflect.TypeFor[Witnesses](), reflect.TypeFor[WitnessMember](), reflect.TypeFor[Witness](), reflect.TypeFor[WitnessedLog](),
	}
	for i := range reflect.TypeFor[Alerts]().NumField() { // the kinds of targets
		structures = append(structures, reflect.TypeFor[Alerts]().Field(i).Type.Elem())
	}
	for _, structure := range structures {
		for i := range structure.NumField() {
			f := structure.Field(i)
			if _, ok := f.Tag.Lookup("yaml"); f.IsExported() != ok {
				t.Errorf("%s.%s: exported %v, named %v", structure, f.Name, f.IsExported(), ok)
			}
		}
	}
}
