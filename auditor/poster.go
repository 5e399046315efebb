package auditor

import "context"

type posterKey struct{}

// WithPoster returns a context under which a Conflict says who posted.
func WithPoster(ctx context.Context, who string) context.Context {
	return context.WithValue(ctx, posterKey{}, who)
}

func posterOf(ctx context.Context) string {
	who, _ := ctx.Value(posterKey{}).(string)
	return who
}
