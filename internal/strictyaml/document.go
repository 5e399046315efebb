package strictyaml

import (
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
	"github.com/ktaudit/ktaudit/internal/units"
)

// Limits of a file. The parser's time grows with the square of the tokens and with the cube of the
// depth.
const (
	MaxFileBytes = 1 << 20
	MaxTokens    = 20_000
	maxDepth     = 16
)

// Decode reads the one YAML document in text into a struct, which holds the defaults. The name
// stands for the file in problems; hint says what to do about a file without a setting. What is
// wrong with single fields is in the Collector; the error is for text that is no document at all.
func Decode(name string, text []byte, into any, hint string) (*Source, *Collector, error) {
	source := &Source{name, map[string]position{}}
	problems := source.Collect()
	body := document(string(text), problems)
	if err := problems.Err(); err != nil {
		return nil, nil, err
	}
	v := reflect.ValueOf(into).Elem()
	d := decoder{problems, source.positions, Settings(v.Interface())}
	d.root(body, v, hint)
	return source, problems, nil
}

// document returns the top of the one YAML document in text; nil if there is nothing in it.
func document(text string, problems *Collector) (body ast.Node) {
	start := position{1, 1}
	switch {
	case len(text) > MaxFileBytes:
		problems.add(position{}, "", "the file is larger than %s", units.Bytes(MaxFileBytes))
		return nil
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		problems.add(position{}, "", "the file is not UTF-8 text")
		return nil
	}
	defer func() {
		// A bug of the parser must not bring down the process.
		if p := recover(); p != nil {
			body = nil
			problems.add(start, "", "the file cannot be parsed as YAML (%.100s)", fmt.Sprint(p))
		}
	}()
	tokens := lexer.Tokenize(strings.TrimPrefix(text, "\ufeff"))
	if t, what := excess(tokens); t != nil {
		problems.add(tokenPosition(t), "", "the file has %s", what)
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		at, message := start, err.Error()
		if y, ok := err.(yaml.Error); ok {
			message = y.GetMessage() // without the lines of the file
			if t := y.GetToken(); t != nil {
				at = tokenPosition(t)
			}
		}
		problems.add(at, "", "the file is not valid YAML: %s", message)
		return nil
	}
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.DirectiveType || doc.Body.Type() == ast.CommentType {
			continue
		}
		if body != nil {
			problems.add(nodePosition(doc.Body), "", "a second YAML document begins here: remove it")
			return nil
		}
		body = doc.Body
	}
	return body
}

// excess returns the first token that is one too many or nested too deeply, and what is wrong.
func excess(tokens token.Tokens) (at *token.Token, what string) {
	count, depth := 0, 0
	for _, t := range tokens {
		switch t.Type {
		case token.CommentType:
			continue
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		}
		count++
		switch {
		case depth > maxDepth:
			return t, fmt.Sprintf("brackets nested more than %d deep", maxDepth)
		case count > MaxTokens:
			return t, fmt.Sprintf("more than %d YAML tokens", MaxTokens)
		}
	}
	return nil, ""
}

func tokenPosition(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{1, 1}
	}
	return position{t.Position.Line, t.Position.Column}
}

// nodePosition is where a node begins: a mapping with its first key.
func nodePosition(n ast.Node) position {
	if m, ok := n.(ast.MapNode); ok {
		if entries := m.MapRange(); entries.Next() {
			return tokenPosition(entries.Key().GetToken())
		}
	}
	return tokenPosition(n.GetToken())
}
