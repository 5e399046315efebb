package page

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"path"
	"strings"

	"github.com/ktaudit/ktaudit/page/documents"
)

//go:embed assets
var assetFiles embed.FS

// assets are the files that pages load, each under a name with its hash, so that browsers may keep
// them for ever.
type assets struct {
	paths     map[string]string              // by plain name
	documents map[string]*documents.Document // by path
}

func loadAssets() (assets, error) {
	a := assets{map[string]string{}, map[string]*documents.Document{}}
	err := fs.WalkDir(assetFiles, "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := assetFiles.ReadFile(name)
		if err != nil {
			return err
		}
		plain := path.Base(name)
		sum := sha256.Sum256(data)
		extension := path.Ext(plain)
		hashed := "assets/" + strings.TrimSuffix(plain, extension) + "." + hex.EncodeToString(sum[:4]) + extension
		a.paths[plain] = hashed
		a.documents[hashed] = documents.New("asset", typeOf(extension), documents.ForEver, data)
		return nil
	})
	return a, err
}

func typeOf(extension string) string {
	switch extension {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return documents.TypeSVG
	case ".wasm":
		return "application/wasm"
	}
	if t := mime.TypeByExtension(extension); t != "" {
		return t
	}
	return "application/octet-stream"
}
