# Comments for what the language makes, seen by Doxygen only.
s@^ *(virtual )?~[A-Za-z0-9_]+\(\).*@/** Destroys it. */ &@
s@^ *(constexpr )?([A-Za-z0-9_]+)\(\) = default;@/** As by default. */ &@
s@^ *[A-Za-z0-9_]+\([A-Za-z0-9_]+&&\) noexcept.*;@/** Moves. */ &@
s@^ *[A-Za-z0-9_]+& operator=\([A-Za-z0-9_]+&&\) noexcept.*;@/** Moves. */ &@
s@^ *[A-Za-z0-9_]+\(const [A-Za-z0-9_]+&\) = default;@/** Copies. */ &@
s@^ *[A-Za-z0-9_]+& operator=\(const [A-Za-z0-9_]+&\) = default;@/** Copies. */ &@
s@^ *using [A-Za-z0-9_:]+::[A-Za-z0-9_]+;@/** Of the base. */ &@
s@^ *bool operator==\(const [A-Za-z0-9_]+&\) const = default;@/** Equal in every part. */ &@
s@^ *auto operator<=>\(const [A-Za-z0-9_]+&\) const = default;@/** By value. */ &@
