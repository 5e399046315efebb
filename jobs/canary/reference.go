package canary

import (
	"embed"
	"strings"

	"github.com/ktaudit/ktaudit/validator"
)

// references holds a proof made with the akd crate for each kind of configuration, from
// testdata/vectors.
//
//go:embed reference
var references embed.FS

// referenceNames are what the proofs prove, by kind.
var referenceNames = map[string]string{
	"whatsapp_v1": "4100/e959adc447230dc1202a4d2309c062c09d88d4ce2b6bef68e9dcace9dcaed9d4/" +
		"e022908d7d76654eabb52161d368ad03386b1bcae13643ac3d7242226d23ce79",
	"experimental": "8/f4e07775592a7cab11401ae7f0095626cbdd0278380996ff6e6815af38c5d206/" +
		"68055390b02e0f24368e3fb6b184bfd9ee4487731c0ea2c1e3c327c8be350e0f",
}

// reference returns a proof of the configuration's kind. That of an experimental one has a domain
// label of its own.
func reference(c validator.Configuration) (validator.Name, []byte, validator.Configuration) {
	kind, _, labelled := strings.Cut(c.String(), ":")
	if labelled {
		c = validator.Experimental("ExampleLabel")
	}
	name, err := validator.ParseName(referenceNames[kind])
	if err != nil {
		panic("no reference proof for configurations of kind " + kind)
	}
	proof, err := references.ReadFile("reference/" + kind)
	if err != nil {
		panic(err) // it is part of the program
	}
	return name, proof, c
}
