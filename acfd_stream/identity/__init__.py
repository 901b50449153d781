"""Who a track is: best views of a track → embedding → character of this video → name from a cast."""
